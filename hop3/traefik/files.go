package traefik

import (
	"encoding/json"
	"net"
	"regexp"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/front"
)

// mainFile has what is no app's. No app can have its name.
const mainFile = "_hop3.yml"

// settledFile is written once the others were read, and has nothing that
// matters. See Traefik.Generation.
const settledFile = "_settled.yml"

// generationPrefix and settledPrefix begin the names of middlewares that say
// which files are in effect: nothing uses them.
const (
	generationPrefix = "hop3-generation-"
	settledPrefix    = "hop3-settled-"
)

func mark(prefix, generation string) object {
	return object{prefix + generation: object{"headers": object{"customRequestHeaders": object{"X-Hop3-Generation": generation}}}}
}

// object is a YAML mapping. Files are written as JSON, which YAML is a superset
// of: there is one way to write a string, and nothing in it can end it.
type object map[string]any

// Files returns Traefik's dynamic configuration: a file for each app, and one
// for the rest.
func (t *Traefik) Files(p front.Place, sites []front.Site) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, site := range sites {
		text, err := siteFile(p, site)
		if err != nil {
			return nil, err
		}
		files[site.App+".yml"] = text
	}
	text, err := encode(main(p))
	for _, c := range p.Control.Certificates {
		text = append(text, "# certificate "+c.Fingerprint+"\n"...)
	}
	files[mainFile] = text
	return files, err
}

// Private

func encode(o object) ([]byte, error) {
	text, err := json.MarshalIndent(o, "", "  ")
	return append(append([]byte(front.Marker), text...), '\n'), err
}

func siteFile(p front.Place, site front.Site) ([]byte, error) {
	rule, err := hostRule(site.Hosts)
	if err != nil {
		return nil, err
	}
	service := "hop3"
	if site.H2C {
		service = "hop3-h2c"
	}
	made := object{"http": object{"routers": routers(p, site.App, rule, service, 0)}}
	if found := certificates(p, site); found != nil {
		made["tls"] = object{"certificates": found}
	}
	text, err := encode(made)
	for _, c := range site.Certificates {
		text = append(text, "# certificate "+c.Fingerprint+"\n"...)
	}
	return text, err
}

// routers lead by HTTP and HTTPS to our Caddy. A priority of 0 lets the length
// of the rule count.
func routers(p front.Place, name, rule, service string, priority int) object {
	all := object{}
	for _, entry := range []string{"http", "https"} {
		if p.Address(entry) == "" {
			continue
		}
		router := object{
			"entryPoints": []string{entry}, "rule": rule, "service": service, "middlewares": []string{"hop3-front"},
		}
		if priority != 0 {
			router["priority"] = priority
		}
		if entry == "https" {
			router["tls"] = object{}
		}
		all[name+"-"+entry] = router
	}
	return all
}

// certificates are those of a site. What changes with a certificate is a file's
// content, of which Traefik's watcher hears nothing: so it is in the text too.
func certificates(p front.Place, site front.Site) []object {
	if p.Address("https") == "" {
		return nil
	}
	var all []object
	for _, c := range site.Certificates {
		all = append(all, object{"certFile": c.File, "keyFile": c.File})
	}
	return all
}

// safeHost is what a host may be made of in a rule, in which backquotes quote.
var safeHost = regexp.MustCompile(`^(\*\.)?[a-z0-9.-]+$`)

// hostRule is Traefik's word for requests to one of the hosts.
func hostRule(hosts []string) (string, error) {
	var parts []string
	for _, host := range hosts {
		if !safeHost.MatchString(host) {
			return "", hop3.Errorf(hop3.CodeInvalid, "Traefik has no way to write the host %q", host)
		}
		if parent, wild := strings.CutPrefix(host, "*."); wild {
			parts = append(parts, "HostRegexp(`^[^.]+\\."+regexp.QuoteMeta(parent)+"$`)")
			continue
		}
		parts = append(parts, "Host(`"+host+"`)")
	}
	return strings.Join(parts, " || "), nil
}

// main is what is no app's: the way to our Caddy, the server's own hosts, and
// everything that no file knows.
func main(p front.Place) object {
	all := routers(p, "hop3-default", "PathPrefix(`/`)", "hop3", 1)
	all["hop3-status"] = object{
		"entryPoints": []string{"status"}, "service": "api@internal",
		"rule": "Header(`" + front.SecretHeader + "`, `" + p.Backend.Secret + "`)",
	}
	server := func(scheme string) object {
		return object{"loadBalancer": object{
			"servers": []object{{"url": scheme + "://" + p.Backend.TCP}}, "passHostHeader": true,
			"serversTransport": "hop3", "responseForwarding": object{"flushInterval": "1ms"},
		}}
	}
	tls := object{"options": object{"default": object{"sniStrict": true, "minVersion": "VersionTLS12"}}}
	if found := certificates(p, p.Control); found != nil {
		tls["certificates"] = found
	}
	middlewares := mark(generationPrefix, p.Generation)
	middlewares["hop3-front"] = object{"headers": object{"customRequestHeaders": object{front.SecretHeader: p.Backend.Secret}}}
	return object{
		"http": object{
			"routers":  all,
			"services": object{"hop3": server("http"), "hop3-h2c": server("h2c")},
			// A connection for each request: none is closed under one.
			"serversTransports": object{"hop3": object{"maxIdleConnsPerHost": -1, "forwardingTimeouts": object{"dialTimeout": "75s"}}},
			"middlewares":       middlewares,
		},
		"tls": tls,
	}
}

// freeAddress is an address on the loopback that nobody listens at now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
