"""Runs the platform's processes: one service in one role, or all of them over embedded stores."""
