"""Finance: sentiment of the financial news, watched for surges, with alerts."""
