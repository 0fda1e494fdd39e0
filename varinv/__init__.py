"""varinv: variational inverse problems in imaging, certified, on any array library."""
