// Package notify sends notices of events: as signed webhooks, to Slack, to
// ntfy and by e-mail.
package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
)

// Sender sends notices. It is safe for concurrent use.
type Sender struct {
	SMTP SMTP
	// AllowPrivate lets webhooks go to addresses of this machine and its own
	// networks.
	AllowPrivate bool
	Version      string // of the server, for the User-Agent
}

// timeout bounds one attempt.
const timeout = 15 * time.Second

// Send sends a notice to its target once. An error says why it may not have
// arrived, without the target's secrets.
func (s *Sender) Send(ctx context.Context, t hop3.NotifyTarget, n hop3.Notice) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	switch t.Kind {
	case hop3.NotifyWebhook:
		return s.webhook(ctx, t, n)
	case hop3.NotifySlack:
		escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
		body, err := json.Marshal(map[string]string{"text": escape.Replace(Title(n) + "\n" + Text(n))})
		if err != nil {
			return err
		}
		return s.post(ctx, t, body, map[string]string{"Content-Type": "application/json"})
	case hop3.NotifyNtfy:
		header := map[string]string{"Title": header(Title(n)), "Priority": priority(n), "Content-Type": "text/plain; charset=utf-8"}
		if t.Secret != "" {
			header["Authorization"] = "Bearer " + t.Secret
		}
		return s.post(ctx, t, []byte(Text(n)), header)
	case hop3.NotifyEmail:
		return s.SMTP.send(ctx, t.Address, n)
	}
	return hop3.Errorf(hop3.CodeInvalid, "%.40q is no kind of target", t.Kind)
}

// Title is a notice in a few words.
func Title(n hop3.Notice) string {
	what := string(n.Event.Kind)
	if n.Event.App != "" {
		what = n.Event.App + ": " + what
	}
	if n.Count > 1 {
		what += fmt.Sprintf(" (%d times in %s)", n.Count, n.Event.Time.Sub(n.First).Round(time.Second))
	}
	return "[Hop3] " + what
}

// Text is what a notice says, in lines.
func Text(n hop3.Notice) string {
	e := n.Event
	lines := []string{e.Message}
	if e.Actor != "" {
		lines = append(lines, "By: "+e.Actor)
	}
	if e.Release != 0 {
		lines = append(lines, "Release: v"+strconv.Itoa(e.Release))
	}
	return strings.Join(append(lines, "At: "+e.Time.UTC().Format(time.RFC3339)), "\n")
}

// message is what a webhook gets.
type message struct {
	ID    int64     `json:"id"`    // the same when it is sent again
	Count int       `json:"count"` // how many events it stands for
	Since string    `json:"since"` // of the first of them
	Event api.Event `json:"event"` // the last one
}

func (s *Sender) webhook(ctx context.Context, t hop3.NotifyTarget, n hop3.Notice) error {
	body, err := json.Marshal(message{ID: n.ID, Count: n.Count, Since: n.First.UTC().Format(time.RFC3339Nano), Event: api.EventOf(n.Event)})
	if err != nil {
		return err
	}
	at := strconv.FormatInt(time.Now().Unix(), 10)
	return s.post(ctx, t, body, map[string]string{
		"Content-Type": "application/json", "X-Hop3-Event": string(n.Event.Kind), "X-Hop3-Delivery": strconv.FormatInt(n.ID, 10),
		"X-Hop3-Timestamp": at, "X-Hop3-Signature": "sha256=" + Sign(t.Secret, at, body),
	})
}

// Sign returns the signature of a webhook's message: the HMAC-SHA256 of the
// timestamp, a dot and the body, in hexadecimal.
func Sign(secret, timestamp string, body []byte) string {
	h := hmac.New(sha256.New, []byte(secret))
	_, _ = h.Write(append([]byte(timestamp+"."), body...)) // never fails
	return hex.EncodeToString(h.Sum(nil))
}

var errPrivate = errors.New("it is an address of this machine, or of a private network")

func (s *Sender) post(ctx context.Context, t hop3.NotifyTarget, body []byte, header map[string]string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.Address, bytes.NewReader(body))
	if err != nil {
		return hop3.Errorf(hop3.CodeInvalid, "the address of %s is no URL", t.Name)
	}
	req.Header.Set("User-Agent", "Hop3/"+s.Version)
	for k, v := range header {
		req.Header.Set(k, v)
	}
	dialer := &net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		// What the name was looked up to is what is connected to.
		at, err := netip.ParseAddrPort(address)
		if err != nil || !s.AllowPrivate && !public(at.Addr()) {
			return errPrivate
		}
		return nil
	}}
	transport := &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true, TLSHandshakeTimeout: timeout}
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		if e := new(url.Error); errors.As(err, &e) {
			err = e.Err // it quotes the address
		}
		if errors.Is(err, errPrivate) {
			return hop3.Errorf(hop3.CodeForbidden, "%s may not be asked: %w", t.Shown(), errPrivate).WithHint("NOTIFY_ALLOW_PRIVATE of the server allows it.")
		}
		return hop3.Errorf(hop3.CodeUnavailable, "%s cannot be reached: %w", t.Shown(), err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // what it says is of no matter
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return hop3.Errorf(hop3.CodeUnavailable, "%s answers %s", t.Shown(), strconv.Itoa(resp.StatusCode)+" "+http.StatusText(resp.StatusCode))
	}
	return nil
}

// public reports whether an address is one of the Internet.
func public(a netip.Addr) bool {
	a = a.Unmap()
	for _, reserved := range []string{"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "198.18.0.0/15", "240.0.0.0/4", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32"} {
		if netip.MustParsePrefix(reserved).Contains(a) {
			return false
		}
	}
	return a.IsGlobalUnicast() && !a.IsPrivate() && !a.IsLoopback() && !a.IsLinkLocalUnicast()
}

func priority(n hop3.Notice) string {
	switch n.Event.Kind.Severity() {
	case hop3.SeverityError:
		return "high"
	case hop3.SeverityWarning:
		return "default"
	}
	return "low"
}

// header makes a text fit for a header.
func header(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f {
			return '?'
		}
		return r
	}, text)
}
