"""The control plane: Azure's REST surface for people and tools, a small one for agents."""
