"""Programs that time mailhaul beside others, and the tools they need."""
