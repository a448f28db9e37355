"""What runs on the rented machine, and how it is packed to get there."""
