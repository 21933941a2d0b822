"""Files of any size through a model: in shards, resumable, one row out for each row in, on one machine or many."""
