"""Pure decisions: the chart, how facts are posted, what a report shows, what a request may say."""
