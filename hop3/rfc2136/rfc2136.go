// Package rfc2136 is the DNS provider dns.providers.rfc2136: it has a name
// server of one's own, as BIND, Knot or PowerDNS, publish the answers to DNS
// challenges by DNS UPDATE (RFC 2136), signed with a shared key (RFC 8945).
package rfc2136

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/libdns/libdns"
	"github.com/miekg/dns"
)

func init() {
	caddy.RegisterModule(Provider{})
}

// Provider is a name server that takes updates. Its fields are those that the
// plug-in of the same name has for Caddy.
type Provider struct {
	// Server is the address of the primary, as 192.0.2.53:53.
	Server string `json:"server,omitempty"`
	// KeyName, KeyAlg (hmac-sha256 unless it says otherwise) and Key (base64)
	// are the key that the server knows us by.
	KeyName string `json:"key_name,omitempty"`
	KeyAlg  string `json:"key_alg,omitempty"`
	Key     string `json:"key,omitempty"`
}

// CaddyModule describes the module.
func (Provider) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "dns.providers.rfc2136", New: func() caddy.Module { return new(Provider) }}
}

// Provision checks the settings, so that a mistake is told at the start and not
// at the first certificate.
func (p *Provider) Provision(caddy.Context) error {
	if p.KeyAlg == "" {
		p.KeyAlg = "hmac-sha256"
	}
	var problems []error
	host, port, err := net.SplitHostPort(p.Server)
	switch {
	case p.Server == "":
		problems = append(problems, errors.New("server is missing, as 192.0.2.53:53"))
	case err != nil:
		p.Server = net.JoinHostPort(strings.Trim(p.Server, "[]"), "53")
	case host == "" || port == "":
		problems = append(problems, fmt.Errorf("server is %q, not an address with a port, as 192.0.2.53:53", p.Server))
	}
	if p.KeyName == "" {
		problems = append(problems, errors.New("key_name is missing: the name server would take updates from anybody"))
	}
	if key, err := base64.StdEncoding.DecodeString(p.Key); err != nil || len(key) < 16 {
		problems = append(problems, errors.New("key is not a key of at least 16 bytes in base64")) // not the text: it is a secret
	}
	if _, known := algorithms[strings.ToLower(p.KeyAlg)]; !known {
		problems = append(problems, fmt.Errorf("key_alg is %q; there are hmac-sha1, hmac-sha224, hmac-sha256, hmac-sha384 and hmac-sha512", p.KeyAlg))
	}
	if len(problems) > 0 {
		return fmt.Errorf("the DNS provider rfc2136: %w", errors.Join(problems...))
	}
	return nil
}

var algorithms = map[string]string{
	"hmac-sha1": dns.HmacSHA1, "hmac-sha224": dns.HmacSHA224, "hmac-sha256": dns.HmacSHA256, "hmac-sha384": dns.HmacSHA384, "hmac-sha512": dns.HmacSHA512,
}

// AppendRecords adds records to a zone: libdns.RecordAppender.
func (p *Provider) AppendRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	sets, err := resources(zone, records)
	if err != nil {
		return nil, err
	}
	return records, p.update(ctx, zone, func(m *dns.Msg) { m.Insert(sets) })
}

// DeleteRecords takes these records, and no others, from a zone:
// libdns.RecordDeleter. That one is not there is no error.
func (p *Provider) DeleteRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	sets, err := resources(zone, records)
	if err != nil {
		return nil, err
	}
	return records, p.update(ctx, zone, func(m *dns.Msg) { m.Remove(sets) })
}

func resources(zone string, records []libdns.Record) ([]dns.RR, error) {
	var out []dns.RR
	for _, record := range records {
		r := record.RR()
		name := dns.Fqdn(libdns.AbsoluteName(r.Name, zone))
		header := dns.RR_Header{Name: name, Class: dns.ClassINET, Ttl: uint32(r.TTL / time.Second)}
		if r.Type == "TXT" {
			header.Rrtype = dns.TypeTXT
			out = append(out, &dns.TXT{Hdr: header, Txt: pieces(r.Data)})
			continue
		}
		parsed, err := dns.NewRR(fmt.Sprintf("%s %d IN %s %s", name, header.Ttl, r.Type, r.Data))
		if err != nil || parsed == nil {
			return nil, fmt.Errorf("the record %s of %s cannot be written: %w", r.Type, name, err)
		}
		out = append(out, parsed)
	}
	return out, nil
}

// pieces splits a text into the strings of a TXT record, which have at most 255
// bytes.
func pieces(text string) []string {
	var out []string
	for len(text) > 255 {
		out, text = append(out, text[:255]), text[255:]
	}
	return append(out, text)
}

// timeout bounds one update.
const timeout = 10 * time.Second

// update sends one signed update, over TCP: its answer is then the server's.
func (p *Provider) update(ctx context.Context, zone string, change func(*dns.Msg)) error {
	m := new(dns.Msg).SetUpdate(dns.Fqdn(zone))
	change(m)
	key := dns.CanonicalName(p.KeyName)
	m.SetTsig(key, algorithms[strings.ToLower(p.KeyAlg)], 300, time.Now().Unix())
	client := &dns.Client{Net: "tcp", Timeout: timeout, TsigSecret: map[string]string{key: p.Key}}
	answer, _, err := client.ExchangeContext(ctx, m, p.Server)
	if err != nil {
		return fmt.Errorf("updating the zone %s at %s: %w", zone, p.Server, err)
	}
	if answer.Rcode != dns.RcodeSuccess {
		return fmt.Errorf("the name server %s refuses the update of the zone %s: %s", p.Server, zone, refusals(answer.Rcode))
	}
	return nil
}

// refusals says what to look at for an answer.
func refusals(code int) string {
	text := dns.RcodeToString[code]
	switch code {
	case dns.RcodeNotAuth, dns.RcodeBadSig:
		return text + " (it has no such zone, or knows another key by that name)"
	case dns.RcodeRefused:
		return text + " (the key may not update it)"
	}
	return text
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Provider)(nil)
	_ libdns.RecordAppender = (*Provider)(nil)
	_ libdns.RecordDeleter  = (*Provider)(nil)
)
