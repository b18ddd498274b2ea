"""Blood on a slide: donors, cells as maps of mass, the smear."""
