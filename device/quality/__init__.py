"""Quality control: the values of a control slide over the days."""
