// Package smtp sends e-mail by a mail server: for the server's own notices, and
// to try the one that apps are given.
package smtp

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
)

// patience is how long a mail server may take for all that is asked of it.
const patience = 30 * time.Second

// Server is a mail server, and who we are to it.
type Server struct {
	Host     string
	Port     int
	User     string // "" for no login
	Password string
	TLS      string // starttls, tls or none
	// Roots are for tests with an authority of their own; nil for the machine's.
	Roots *x509.CertPool
}

// Session is a mail server that has accepted a login. It is for one goroutine,
// and for half a minute.
type Session struct {
	host   string
	client *smtp.Client
	stop   func() bool
}

// Login connects, and logs in where there is a user. A password goes over TLS or
// within this machine only. Its errors have a hint; they say how far it came, and
// what the server answered. The session is over when ctx is.
func (m Server) Login(ctx context.Context) (*Session, error) {
	address := net.JoinHostPort(m.Host, strconv.Itoa(m.Port))
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, failure(ctx, address, "does not answer", err).WithHint("Are the host and the port right? Many networks let nobody out to port 25.")
	}
	s := &Session{host: address, stop: context.AfterFunc(ctx, func() { conn.Close() })}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	config := &tls.Config{ServerName: m.Host, RootCAs: m.Roots}
	if m.TLS == "tls" {
		conn = tls.Client(conn, config)
	}
	if s.client, err = smtp.NewClient(conn, m.Host); err != nil {
		s.stop()
		conn.Close()
		return nil, failure(ctx, address, "is no mail server, or not with tls="+m.TLS, err).WithHint("Port 465 is for tls, port 587 for starttls.")
	}
	if m.TLS == "starttls" {
		if err := s.client.StartTLS(config); err != nil {
			s.Close()
			return nil, failure(ctx, address, "does not begin TLS", err).WithHint("Port 465 is for tls, port 587 for starttls; and its certificate must be for the name that host is.")
		}
	}
	if m.User == "" {
		return s, nil
	}
	if err := s.client.Auth(s.auth(m)); err != nil {
		s.Close()
		return nil, failure(ctx, address, "refuses the login of "+m.User, err).WithHint("Are the user and the password right? Some providers want a password for apps.")
	}
	return s, nil
}

func failure(ctx context.Context, address, what string, err error) *hop3.Error {
	if ctx.Err() != nil {
		return hop3.Errorf(hop3.CodeCanceled, "the mail server %s was given up: %w", address, ctx.Err())
	}
	return hop3.Errorf(hop3.CodeUnavailable, "the mail server %s %s: %w", address, what, err)
}

// auth is the first of what the server offers that sends a password over TLS or
// within the machine only; net/smtp sees to that for PLAIN.
func (s *Session) auth(m Server) smtp.Auth {
	_, offered := s.client.Extension("AUTH")
	switch ways := " " + strings.ToUpper(offered) + " "; {
	case strings.Contains(ways, " PLAIN "):
		return smtp.PlainAuth("", m.User, m.Password, m.Host)
	case strings.Contains(ways, " LOGIN "):
		return &loginAuth{user: m.User, password: m.Password}
	case strings.Contains(ways, " CRAM-MD5 "):
		return smtp.CRAMMD5Auth(m.User, m.Password)
	}
	return smtp.PlainAuth("", m.User, m.Password, m.Host)
}

// loginAuth is the way LOGIN, which was never made a standard and is all that
// some offer.
type loginAuth struct{ user, password string }

// Start begins, where nobody else can read it.
func (l *loginAuth) Start(server *smtp.ServerInfo) (string, []byte, error) {
	if !server.TLS && !local(server.Name) {
		return "", nil, errors.New("unencrypted connection")
	}
	return "LOGIN", nil, nil
}

// Next answers what it is asked for.
func (l *loginAuth) Next(asked []byte, more bool) ([]byte, error) {
	if !more {
		return nil, nil
	}
	switch strings.ToLower(strings.TrimSuffix(strings.TrimSpace(string(asked)), ":")) {
	case "username", "user name":
		return []byte(l.user), nil
	case "password":
		return []byte(l.password), nil
	}
	return nil, fmt.Errorf("the server asks for %q", asked)
}

// Message is an e-mail of plain text.
type Message struct {
	From, To      *mail.Address
	Subject, Text string // of any characters: none gets into the header but encoded
}

// Send sends a message and returns what the server has answered to it.
func (s *Session) Send(m Message) (answer string, err error) {
	if err := s.client.Mail(m.From.Address); err != nil {
		return "", s.refused("messages from "+m.From.Address, err)
	}
	if err := s.client.Rcpt(m.To.Address); err != nil {
		return "", s.refused("messages to "+m.To.Address, err)
	}
	line := s.client.Text // the client's own Data keeps the answer to itself
	if err := line.PrintfLine("DATA"); err != nil {
		return "", s.refused("the message", err)
	}
	if _, _, err := line.ReadResponse(354); err != nil {
		return "", s.refused("the message", err)
	}
	w := line.DotWriter()
	fmt.Fprintf(w, "From: %s\r\nTo: %s\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%s@hop3>\r\n", m.From, m.To,
		mime.QEncoding.Encode("utf-8", m.Subject), time.Now().Format(time.RFC1123Z), rand.Text())
	fmt.Fprint(w, "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	body := quotedprintable.NewWriter(w)
	_, err = body.Write([]byte(m.Text))
	if err = errors.Join(err, body.Close(), w.Close()); err != nil {
		return "", s.refused("the message", err)
	}
	code, answer, err := line.ReadResponse(250)
	if err != nil {
		return "", s.refused("the message", err)
	}
	return fmt.Sprintf("%d %s", code, strings.ToValidUTF8(strings.ReplaceAll(answer, "\n", " "), "?")), nil
}

func (s *Session) refused(what string, err error) error {
	var answer *textproto.Error
	if errors.As(err, &answer) {
		return hop3.Errorf(hop3.CodeUnavailable, "the mail server %s does not take %s: %w", s.host, what, err).
			WithHint("It may want another address as the sender.")
	}
	return hop3.Errorf(hop3.CodeUnavailable, "the mail server %s was lost at %s: %w", s.host, what, err).WithHint("Try again.")
}

// Quit says goodbye, and closes the session.
func (s *Session) Quit() error {
	defer s.stop()
	if err := s.client.Quit(); err != nil {
		s.client.Close()
		return hop3.Errorf(hop3.CodeUnavailable, "the mail server %s was lost: %w", s.host, err).WithHint("Try again.")
	}
	return nil
}

// Close closes the session at once.
func (s *Session) Close() error {
	s.stop()
	return s.client.Close()
}

func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
