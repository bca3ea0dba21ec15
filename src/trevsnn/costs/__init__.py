"""What one network costs: operations, energy, memory and firing rates, measured without changing it."""
