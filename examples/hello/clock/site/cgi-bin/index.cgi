#!/bin/busybox sh
# busybox httpd runs this for `/`.
printf 'Content-Type: text/plain\r\n\r\n'
echo "clock: $(busybox date -u)"
