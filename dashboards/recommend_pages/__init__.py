"""Pages of the recommender's dashboard."""
