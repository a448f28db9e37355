"""People compare two answers blind: a page that needs nothing but itself, and the count of what they said."""
