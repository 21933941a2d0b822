"""Where pre-trained weights come from: the catalogue, local folders and hub ids."""
