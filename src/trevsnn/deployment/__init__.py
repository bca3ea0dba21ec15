"""Files of trained networks for other programs: ONNX, torch.export, safetensors and NIR."""

from trevsnn.deployment.comparison import compare
from trevsnn.deployment.export import export_nir, export_onnx, export_program, export_safetensors
from trevsnn.deployment.plan import Plan, plan_network

__all__ = ["Plan", "compare", "export_nir", "export_onnx", "export_program", "export_safetensors", "plan_network"]
