package manifest

import (
	"net/netip"
	"slices"

	"github.com/abilian/hop3/hop3"
)

// readPort reads [port], which only documents the app: name -> number.
func readPort(r *reading) {
	t := r.table.table("port")
	if t == nil {
		return
	}
	t.rest(rangeShape(1, 65535), shapeOf(readNamedPort))
	for name := range t.values {
		if _, detailed := t.values[name].(map[string]any); !detailed {
			t.integer(name, 1, 65535)
			continue
		}
		readNamedPort(t.table(name))
	}
}

func readNamedPort(t *table) {
	t.integer("container", 1, 65535)
	t.flag("public")
	t.flag("https")
	t.done()
}

// readPorts reads [[ports]], fixed ports of the host.
func readPorts(r *reading) {
	all := &r.manifest.Ports
	for _, t := range r.tables("ports") {
		p := hop3.Port{
			Number:   t.integer("number", 1, 65535),
			Protocol: t.oneOf("protocol", "tcp", "udp"),
			Name:     t.matching("name", `^[A-Za-z0-9][A-Za-z0-9 ._-]{0,39}$`, "a name of up to 40 letters, digits, '-', '_', '.' or spaces"),
			Source:   t.source("source"),
		}
		t.needs("number")
		t.done()
		if p.Protocol == "" {
			p.Protocol = "tcp"
		}
		if p.Number == 0 || slices.Contains([]int{22, 80, 443}, p.Number) {
			t.fail("number", "a port from 1 to 65535 other than 22, 80 and 443 is needed")
		}
		for _, other := range *all {
			switch {
			case other.Is(p):
				t.fail("number", "port %s is declared already", p)
			case other.Variable() == p.Variable() && other.Number != p.Number:
				t.fail("name", "the variable %s is that of port %s already", p.Variable(), other)
			}
		}
		*all = append(*all, p)
	}
	if len(*all) > maxPorts {
		r.fail("ports", "there are %d ports, more than %d", len(*all), maxPorts)
	}
}

// maxPorts bounds the fixed ports of an app.
const maxPorts = 50

// source is "any" or an IPv4 network in its canonical form.
func (t *table) source(key string) string {
	s := t.text(key)
	if s == "" || s == hop3.AnySource {
		return hop3.AnySource
	}
	if addr, err := netip.ParseAddr(s); err == nil && addr.Is4() {
		return netip.PrefixFrom(addr, 32).String()
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil || !prefix.Addr().Is4() {
		t.fail(key, "%q is neither \"any\" nor an IPv4 network such as 10.0.0.0/8", cut(s))
		return ""
	}
	return prefix.Masked().String()
}
