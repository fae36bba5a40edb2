"""A Banyan that trusts Redis again at once, however often it was lost: tests that fail it again and again save the wait.

Run it like `python -m banyan`.
"""

from banyan.cli import main
from banyan.infra.redis import trust

trust.MOST_PATIENCE_SECONDS = 0.0

if __name__ == "__main__":
    main()
