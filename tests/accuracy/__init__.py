"""How true the estimates are: published runs against predictions, by sources that were not fitted on."""
