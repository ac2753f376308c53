"""A small database of orders: orders.py find|get|cancel, with the arguments as JSON on stdin.

The file is $TENON_ORDERS (default /tmp/tenon-orders.db), made with a few orders when it is not there. Values of the model
reach SQL as parameters only; reading opens the file read-only, whatever the model says."""
import json
import os
import sqlite3
import sys

PATH = os.environ.get("TENON_ORDERS", "/tmp/tenon-orders.db")
ROWS = [(1041, "Maria Lopez", "desk lamp", 39.5, "shipped"), (1042, "Maria Lopez", "bookshelf", 129.0, "open"), (1043, "Jonas Berg", "office chair", 249.0, "open"),
        (1044, "Aiko Tanaka", "tea set", 58.0, "cancelled")]
COLUMNS = ("order_id", "customer", "item", "price", "status")


def make():
    with sqlite3.connect(PATH) as db:
        db.execute("create table orders(order_id integer primary key, customer text, item text, price real, status text)")
        db.executemany("insert into orders values(?,?,?,?,?)", ROWS)


def rows(db, where, *values):
    return [dict(zip(COLUMNS, r)) for r in db.execute("select %s from orders where %s order by order_id" % (", ".join(COLUMNS), where), values)]


def fail(why):
    print(json.dumps({"error": why}))
    sys.exit(1)


def main():
    what, args = sys.argv[1], json.load(sys.stdin)
    if not os.path.exists(PATH):
        make()
    db = sqlite3.connect("file:%s?mode=%s" % (PATH, "rw" if what == "cancel" else "ro"), uri=True)
    if what == "find":
        found = rows(db, "customer like ? and (? is null or status = ?)", "%" + args["customer"] + "%", args.get("status"), args.get("status"))
        return print(json.dumps({"orders": found}))
    found = rows(db, "order_id = ?", args["order_id"])
    if not found:
        fail("there is no order %d" % args["order_id"])
    if what == "cancel":
        if found[0]["status"] != "open":
            fail("order %d is %s; only open orders can be cancelled" % (args["order_id"], found[0]["status"]))
        db.execute("update orders set status = 'cancelled' where order_id = ?", (args["order_id"],))
        db.commit()
        found = rows(db, "order_id = ?", args["order_id"])
    print(json.dumps(found[0]))


main()
