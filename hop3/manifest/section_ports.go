package manifest

import (
	"fmt"
	"net/netip"
	"slices"
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
	seen := map[string]bool{}
	for _, t := range r.tables("ports") {
		p := Port{
			Number:   t.integer("number", 1, 65535),
			Protocol: t.oneOf("protocol", "tcp", "udp"),
			Name:     t.text("name"),
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
		if id := fmt.Sprint(p.Number, p.Protocol); seen[id] {
			t.fail("number", "port %d/%s is declared already", p.Number, p.Protocol)
		} else {
			seen[id] = true
		}
		r.manifest.Ports = append(r.manifest.Ports, p)
	}
	if len(r.manifest.Ports) > 0 {
		r.noEffect("ports", "this server opens no fixed ports of the host")
	}
}

// source is "any" or an IPv4 network in its canonical form.
func (t *table) source(key string) string {
	s := t.text(key)
	if s == "" || s == "any" {
		return "any"
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
