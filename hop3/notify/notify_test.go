package notify

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

var crash = hop3.Notice{
	ID: 7, Count: 14, First: time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC),
	Event: hop3.Event{ID: 99, Kind: hop3.EventAppCrashed, App: "blog", Message: "web.1 ended: <exit> & naïve", Time: time.Date(2026, 11, 25, 10, 5, 0, 0, time.UTC)},
}

// receive is a server that keeps the last request.
func receive(t *testing.T, status int) (url string, last func() (http.Header, string)) {
	t.Helper()
	type got struct {
		header http.Header
		body   string
	}
	all := make(chan got, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		all <- got{r.Header, string(body)}
		if status/100 == 3 {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	return server.URL, func() (http.Header, string) {
		g := <-all
		return g.header, g.body
	}
}

func TestWhatReceiversGet(t *testing.T) {
	s := &Sender{AllowPrivate: true, Version: "1.2.3"}
	url, last := receive(t, 204)
	send := func(kind, secret string) (http.Header, string) {
		t.Helper()
		if err := s.Send(t.Context(), hop3.NotifyTarget{Name: "x", Kind: kind, Address: url + "/hook/s3cret", Secret: secret}, crash); err != nil {
			t.Fatal(err)
		}
		return last()
	}
	header, body := send(hop3.NotifyWebhook, "k3y")
	if want := "sha256=" + Sign("k3y", header.Get("X-Hop3-Timestamp"), []byte(body)); header.Get("X-Hop3-Signature") != want || header.Get("X-Hop3-Delivery") != "7" {
		t.Errorf("%v, want the signature %s", header, want)
	}
	var m message
	if err := json.Unmarshal([]byte(body), &m); err != nil || m.ID != 7 || m.Count != 14 || m.Event.Kind != "app.crashed" || m.Event.ID != 99 || m.Event.Severity != "error" {
		t.Errorf("%s, %v", body, err)
	}
	_, body = send(hop3.NotifySlack, "")
	if want := `{"text":"[Hop3] blog: app.crashed (14 times in 5m0s)\nweb.1 ended: \u0026lt;exit\u0026gt; \u0026amp; naïve\nAt: 2026-11-25T10:05:00Z"}`; body != want {
		t.Errorf("%s, want %s", body, want)
	}
	header, body = send(hop3.NotifyNtfy, "tk_1")
	if header.Get("Title") != "[Hop3] blog: app.crashed (14 times in 5m0s)" || header.Get("Priority") != "high" || header.Get("Authorization") != "Bearer tk_1" || !strings.HasPrefix(body, "web.1 ended") {
		t.Errorf("%v %s", header, body)
	}
}

func TestRefusals(t *testing.T) {
	for status, want := range map[int]string{500: "answers 500", 302: "answers 302", 404: "answers 404"} {
		url, _ := receive(t, status)
		err := (&Sender{AllowPrivate: true}).Send(t.Context(), hop3.NotifyTarget{Kind: hop3.NotifySlack, Address: url + "/s3cret"}, crash)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v, want %q and no secret", err, want)
		}
	}
	for _, address := range []string{"http://127.0.0.1:1/s3cret", "http://localhost:1/s3cret", "http://[::1]:1/", "http://10.1.2.3/", "http://169.254.169.254/latest", "http://[::ffff:127.0.0.1]:1/", "http://0.0.0.0:1/"} {
		err := (&Sender{}).Send(t.Context(), hop3.NotifyTarget{Kind: hop3.NotifyWebhook, Address: address}, crash)
		if hop3.CodeOf(err) != hop3.CodeForbidden || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// mailbox is a mail server of the few words that net/smtp says: there is none
// in the standard library, and a dependency would be for this test alone.
type mailbox struct {
	listener net.Listener
	config   *tls.Config
	implicit bool
	got      chan string
}

func newMailbox(t *testing.T, implicit bool) (*mailbox, *x509.CertPool) {
	t.Helper()
	authority := httptest.NewUnstartedServer(nil) // has a certificate of 127.0.0.1
	authority.StartTLS()
	t.Cleanup(authority.Close)
	roots := x509.NewCertPool()
	roots.AddCert(authority.Certificate())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mailbox{listener: l, config: &tls.Config{Certificates: authority.TLS.Certificates}, implicit: implicit, got: make(chan string, 10)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			m.serve(conn)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return m, roots
}

func (m *mailbox) serve(conn net.Conn) {
	defer func() { conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	secure := m.implicit
	if secure {
		conn = tls.Server(conn, m.config)
	}
	in := bufio.NewReader(conn)
	say := func(line string) { fmt.Fprint(conn, line+"\r\n") }
	say("220 mail")
	var all strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch strings.ToUpper(word) {
		case "EHLO":
			say("250-mail")
			if !secure {
				say("250-STARTTLS")
			}
			say("250 AUTH PLAIN")
		case "STARTTLS":
			say("220 go on")
			conn, secure = tls.Server(conn, m.config), true
			in = bufio.NewReader(conn)
		case "DATA":
			say("354 go on")
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				all.WriteString(line)
			}
			say("250 taken")
		case "QUIT":
			say("221 bye")
			m.got <- all.String()
			return
		default:
			if strings.EqualFold(word, "AUTH") && !secure {
				say("538 not without TLS")
				continue
			}
			all.WriteString(line)
			say(map[bool]string{true: "235 fine", false: "250 fine"}[strings.EqualFold(word, "AUTH")])
		}
	}
}

func TestEmail(t *testing.T) {
	for _, way := range []string{"starttls", "tls"} {
		m, roots := newMailbox(t, way == "tls")
		port := m.listener.Addr().(*net.TCPAddr).Port
		s := &Sender{SMTP: SMTP{Host: "127.0.0.1", Port: port, User: "hop3", Password: "pw", From: "hop3@example.org", TLS: way, Roots: roots}}
		n := crash
		n.Event.App = "blog\r\nBcc: evil@example.org"
		err := s.Send(t.Context(), hop3.NotifyTarget{Kind: hop3.NotifyEmail, Address: "ops@example.org"}, n)
		t.Log(way, err)
		if err != nil {
			t.Fatal(err)
		}
		got := <-m.got
		_, text, _ := strings.Cut(got, "From:")
		message, err := mail.ReadMessage(strings.NewReader("From:" + text))
		if err != nil {
			t.Fatal(err)
		}
		if message.Header.Get("Bcc") != "" || !strings.Contains(message.Header.Get("Subject"), "app.crashed") || message.Header.Get("To") != "<ops@example.org>" {
			t.Errorf("%s: %v", way, message.Header)
		}
		if !strings.Contains(got, "AUTH PLAIN") || !strings.Contains(got, "RCPT TO:<ops@example.org>") || !strings.Contains(text, "na=C3=AFve") {
			t.Errorf("%s: %s", way, got)
		}
	}
	// A certificate of nobody we know.
	m, _ := newMailbox(t, false)
	s := &Sender{SMTP: SMTP{Host: "127.0.0.1", Port: m.listener.Addr().(*net.TCPAddr).Port, From: "hop3@example.org", TLS: "starttls"}}
	if err := s.Send(t.Context(), hop3.NotifyTarget{Kind: hop3.NotifyEmail, Address: "ops@example.org"}, crash); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("%v", err)
	}
	if err := new(Sender).Send(t.Context(), hop3.NotifyTarget{Kind: hop3.NotifyEmail, Address: "ops@example.org"}, crash); hop3.CodeOf(err) != hop3.CodeUnavailable {
		t.Errorf("without a mail server: %v", err)
	}
}

func TestTargetsAreChecked(t *testing.T) {
	for _, bad := range []hop3.NotifyTarget{
		{Name: "x", Kind: "pager", Address: "https://example.org"},
		{Name: "X y", Kind: hop3.NotifySlack, Address: "https://example.org"},
		{Name: "x", Kind: hop3.NotifySlack, Address: "ftp://example.org"},
		{Name: "x", Kind: hop3.NotifyEmail, Address: "ops@example.org\r\nBcc: evil@example.org"},
		{Name: "x", Kind: hop3.NotifyEmail, Address: "Ops <ops@example.org>"},
		{Name: "x", Kind: hop3.NotifyNtfy, Address: "https://example.org", Secret: "a\r\nb"},
	} {
		if err := bad.Validate(); hop3.CodeOf(err) != hop3.CodeInvalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
