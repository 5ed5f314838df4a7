package nginx

import (
	"os"
	"strconv"
	"strings"

	"github.com/abilian/hop3/hop3/front"
)

// mainFile is the file that nginx begins with. No app can have its name.
const mainFile = "_hop3.conf"

// Files returns nginx's configuration: a file of its own for each app, which is
// included by the main one.
func (n *Nginx) Files(p front.Place, sites []front.Site) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, site := range sites {
		text, err := render(siteServers(p, site))
		if err != nil {
			return nil, err
		}
		files[site.App+".conf"] = append([]byte(front.Marker), text...)
	}
	text, err := render(main(p))
	files[mainFile] = append([]byte(front.Marker), text...)
	return files, err
}

// Private

// siteServers are the servers of an app: one for HTTP, and one for HTTPS for
// each host, because nginx takes one certificate for each.
func siteServers(p front.Place, site front.Site) []directive {
	var all []directive
	if p.Address("http") != "" {
		all = append(all, d("server").in(
			listen(p.Address("http")),
			d("server_name", names(site.Hosts)),
			pass(),
		))
	}
	return append(all, secureServers(p, site)...)
}

func secureServers(p front.Place, site front.Site) []directive {
	if p.Address("https") == "" {
		return nil
	}
	var all []directive
	for _, c := range site.Certificates {
		all = append(all, d("server").in(
			listen(p.Address("https"), "ssl", "http2"),
			d("server_name", data(c.Host)),
			d("ssl_certificate", data(c.File)),
			d("ssl_certificate_key", data(c.File)),
			// A certificate that was renewed in its place is a change too.
			d("set", "$hop3_certificate", data(c.Fingerprint)),
			pass(),
		))
	}
	return all
}

// pass sends everything to our Caddy.
func pass() directive {
	return d("location", "/").in(d("proxy_pass", "http://hop3"))
}

func names(hosts []string) []arg {
	var all []arg
	for _, host := range hosts {
		all = append(all, data(host))
	}
	return all
}

// listen is a socket that we hand to nginx, which knows it by its address.
func listen(address string, more ...string) directive {
	x := d("listen", data(address))
	for _, word := range more {
		x.args = append(x.args, code(word))
	}
	return x
}

// listenFirst is the default server at an address. An IPv6 socket of all
// addresses takes IPv4 connections too, as Go opens it; that may be said once.
func listenFirst(address string, more ...string) directive {
	x := listen(address, append(more, "default_server")...)
	if strings.HasPrefix(address, "[::]:") {
		x.args = append(x.args, code("ipv6only=off"))
	}
	return x
}

// main is the file nginx begins with.
func main(p front.Place) []directive {
	work := func(name string) arg { return data(p.Work + "/" + name) }
	http := []directive{
		d("server_tokens", "off"),
		d("access_log", "off"), // Caddy keeps the log
		d("client_body_temp_path", work("body")),
		d("proxy_temp_path", work("proxy")),
		d("fastcgi_temp_path", work("fastcgi")),
		d("uwsgi_temp_path", work("uwsgi")),
		d("scgi_temp_path", work("scgi")),
		d("server_names_hash_max_size", "16384"),
		d("server_names_hash_bucket_size", "512"), // a name has 253 bytes
		d("ssl_protocols", "TLSv1.2", "TLSv1.3"),
		d("ssl_session_cache", "shared:hop3:10m"),
		d("ssl_session_tickets", "off"),
		d("ssl_prefer_server_ciphers", "off"),
		// What Caddy allows, it decides: the size of bodies, how long a request
		// may take, that nothing is buffered.
		d("client_max_body_size", "0"),
		d("large_client_header_buffers", "8", "64k"),
		d("underscores_in_headers", "on"),
		d("ignore_invalid_headers", "off"),
		d("merge_slashes", "off"),
		d("proxy_request_buffering", "off"),
		d("proxy_buffering", "off"),
		d("proxy_max_temp_file_size", "0"),
		d("proxy_connect_timeout", "75s"),
		d("proxy_read_timeout", "24h"),
		d("proxy_send_timeout", "24h"),
		d("send_timeout", "5m"),
		d("proxy_http_version", "1.1"),
		d("proxy_set_header", "Host", "$http_host"),
		d("proxy_set_header", "Upgrade", "$http_upgrade"),
		d("proxy_set_header", "Connection", "$hop3_connection"),
		d("proxy_set_header", "X-Forwarded-For", "$remote_addr"),
		d("proxy_set_header", "X-Forwarded-Host", "$http_host"),
		d("proxy_set_header", "X-Forwarded-Proto", "$scheme"),
		d("proxy_set_header", "X-Forwarded-Port", "$server_port"),
		d("proxy_set_header", front.SecretHeader, data(p.Backend.Secret)),
		d("map", "$http_upgrade", "$hop3_connection").in(d("default", "upgrade"), d(`""`, "close")),
		d("upstream", "hop3").in(d("server", data("unix:"+p.Backend.Unix))),
		d("server").in(
			listen(p.Address("status")),
			d("return", "200", data(p.Generation)),
		),
	}
	http = append(http, defaults(p)...)
	http = append(http, secureServers(p, p.Control)...)
	http = append(http, d("include", data(p.Dir+"/[A-Za-z0-9]*.conf")))
	all := []directive{
		d("daemon", "off"),
		d("pid", work("nginx.pid")),
		d("lock_file", work("nginx.lock")),
		d("error_log", work("error.log"), "warn"),
		d("worker_processes", "auto"),
		d("worker_rlimit_nofile", strconv.Itoa(p.OpenFiles)),
		// A reload, for a host or a certificate, breaks no WebSocket before.
		d("worker_shutdown_timeout", "6h"),
		d("events").in(d("worker_connections", strconv.Itoa(p.OpenFiles/2))),
		d("http").in(http...),
	}
	if p.SameUser && os.Geteuid() == 0 {
		all = append(all, d("user", "root")) // else the workers are nobody's
	}
	return all
}

// defaults answer for hosts that no file has: Caddy says who they are. Without
// a certificate there is no handshake.
func defaults(p front.Place) []directive {
	var all []directive
	if p.Address("http") != "" {
		all = append(all, d("server").in(listenFirst(p.Address("http")), d("server_name", "_"), pass()))
	}
	if p.Address("https") != "" {
		all = append(all, d("server").in(listenFirst(p.Address("https"), "ssl", "http2"), d("server_name", "_"), d("ssl_reject_handshake", "on")))
	}
	return all
}
