# pull
