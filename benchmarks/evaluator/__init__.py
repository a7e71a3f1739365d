"""What evaluating patterns costs, in work and in seconds."""
