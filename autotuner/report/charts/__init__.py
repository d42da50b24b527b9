"""The report's charts, one module each, as figures in Plotly's JSON."""
