"""Finds or downloads weights files, reads them, and loads them into a network; imports without Paddle."""
