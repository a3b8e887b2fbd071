"""`lfkit studio`: a page that shows what labeling functions do to your images."""
