# etcd-connect
