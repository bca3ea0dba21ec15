"""What takes several networks or runs: methods compared, choices ablated, gradients through time."""
