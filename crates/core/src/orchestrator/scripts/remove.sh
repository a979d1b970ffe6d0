# remove
