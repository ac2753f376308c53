#!/usr/bin/env python3
"""A browser for the tests ($BROWSER): opens the page, follows redirects, and says where it ended in $BROWSER_LOG."""
import os
import sys
import urllib.request

with open(os.environ.get("BROWSER_LOG", os.devnull), "a", buffering=1, encoding="utf-8") as log:
    log.write(sys.argv[1] + "\n")
    try:
        with urllib.request.urlopen(sys.argv[1], timeout=30) as reply:
            log.write("%d %s\n" % (reply.status, reply.geturl()))
    except Exception as e:
        log.write("%s\n" % e)
