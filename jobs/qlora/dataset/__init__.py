"""From files as people have them to the three parts that a training needs; runs on a laptop, without torch."""
