"""Analysis of finished runs: reading, comparing and diagnosing them; numbers only."""
