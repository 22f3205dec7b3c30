"""Arrow from elsewhere: bytes of clients that nothing vouches for, and types that not every client can read."""
