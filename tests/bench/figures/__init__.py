"""One module a figure: NAME, TITLE, measure(lab, results, scale), and perhaps plot(results)."""
