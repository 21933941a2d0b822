"""The pages of the support desk."""
