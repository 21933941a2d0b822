"""Finance: sentiment of the financial news, watched for surges, with alerts."""

from core.vertical import Vertical

vertical = Vertical(name="finance", summary="watches financial news for surges of bad sentiment, with alerts")
