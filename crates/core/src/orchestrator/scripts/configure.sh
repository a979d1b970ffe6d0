# configure
