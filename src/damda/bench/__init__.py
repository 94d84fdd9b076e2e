"""What each serving technique is worth on this machine, with this model: measured, and then applied."""
