"""A weather service for the example: stub.py [PORT] (default 8099; 0: any), on this machine only. It knows a few cities."""
import http.server
import json
import sys
import urllib.parse

CITIES = {"oslo": (4, "snow"), "paris": (14, "rain"), "cairo": (29, "clear"), "tokyo": (18, "cloudy")}


class Weather(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        city = urllib.parse.unquote(url.path.rsplit("/", 1)[-1])
        units = urllib.parse.parse_qs(url.query).get("units", ["celsius"])[0]
        found = CITIES.get(city.lower())
        if found:
            t = found[0] if units == "celsius" else round(found[0] * 1.8 + 32)
            body, status = {"current": {"city": city, "temperature": t, "units": units, "sky": found[1]}, "source": "stub"}, 200
        else:
            body, status = {"error": "no weather for %s; there is for %s" % (city, ", ".join(c.title() for c in CITIES))}, 404
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8099), Weather)
print("WEATHER_URL=http://127.0.0.1:%d" % server.server_port, flush=True)
server.serve_forever()
