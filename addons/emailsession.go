package addons

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
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
)

// mailPatience is how long a mail server may take for all that is asked of it.
const mailPatience = 30 * time.Second

// mailDialer opens mail servers.
type mailDialer struct {
	// roots are for tests with an authority of their own; nil for the machine's.
	roots *x509.CertPool
}

// mailSession is a mail server that has accepted a login.
type mailSession struct {
	host   string
	client *smtp.Client
	stop   func() bool
}

// login connects as details say, and logs in. Its errors say how far it came,
// and what the server answered.
func (m mailDialer) login(ctx context.Context, d hop3.AddonDetails) (*mailSession, error) {
	address := net.JoinHostPort(d[mailHost], d[mailPort])
	conn, err := (&net.Dialer{Timeout: mailPatience}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, mailFailure(ctx, address, "does not answer", err).WithHint("Are the host and the port right? Many networks let nobody out to port 25.")
	}
	s := &mailSession{host: address, stop: context.AfterFunc(ctx, func() { conn.Close() })}
	if err := conn.SetDeadline(time.Now().Add(mailPatience)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	config := &tls.Config{ServerName: d[mailHost], RootCAs: m.roots}
	if d[mailTLS] == "tls" {
		conn = tls.Client(conn, config)
	}
	if s.client, err = smtp.NewClient(conn, d[mailHost]); err != nil {
		s.stop()
		conn.Close()
		return nil, mailFailure(ctx, address, "is no mail server, or not with tls="+d[mailTLS], err).WithHint("Port 465 is for tls, port 587 for starttls.")
	}
	if d[mailTLS] == "starttls" {
		if err := s.client.StartTLS(config); err != nil {
			s.close()
			return nil, mailFailure(ctx, address, "does not begin TLS", err).WithHint("Port 465 is for tls, port 587 for starttls; and its certificate must be for the name that host is.")
		}
	}
	if d[mailUser] == "" {
		return s, nil
	}
	if err := s.client.Auth(s.auth(d)); err != nil {
		s.close()
		return nil, mailFailure(ctx, address, "refuses the login of "+d[mailUser], err).WithHint("Are the user and the password right? Some providers want a password for apps.")
	}
	return s, nil
}

func mailFailure(ctx context.Context, address, what string, err error) *hop3.Error {
	if ctx.Err() != nil {
		return hop3.Errorf(hop3.CodeCanceled, "the mail server %s was given up: %w", address, ctx.Err())
	}
	return hop3.Errorf(hop3.CodeUnavailable, "the mail server %s %s: %w", address, what, err)
}

// auth is the first of what the server offers that sends a password over TLS or
// within the machine only; net/smtp sees to that for PLAIN.
func (s *mailSession) auth(d hop3.AddonDetails) smtp.Auth {
	_, offered := s.client.Extension("AUTH")
	switch ways := " " + strings.ToUpper(offered) + " "; {
	case strings.Contains(ways, " PLAIN "):
		return smtp.PlainAuth("", d[mailUser], d[mailPassword], d[mailHost])
	case strings.Contains(ways, " LOGIN "):
		return &loginAuth{user: d[mailUser], password: d[mailPassword]}
	case strings.Contains(ways, " CRAM-MD5 "):
		return smtp.CRAMMD5Auth(d[mailUser], d[mailPassword])
	}
	return smtp.PlainAuth("", d[mailUser], d[mailPassword], d[mailHost])
}

// loginAuth is the way LOGIN, which was never made a standard and is all that
// some offer.
type loginAuth struct{ user, password string }

// Start begins, where nobody else can read it.
func (l *loginAuth) Start(server *smtp.ServerInfo) (string, []byte, error) {
	if !server.TLS && !onLoopback(server.Name) {
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

// send sends a message and returns what the server has answered to it.
func (s *mailSession) send(from, to *mail.Address, subject, text string) (string, error) {
	if err := s.client.Mail(from.Address); err != nil {
		return "", s.refused("messages from "+from.Address, err)
	}
	if err := s.client.Rcpt(to.Address); err != nil {
		return "", s.refused("messages to "+to.Address, err)
	}
	line := s.client.Text // the client's own Data keeps the answer to itself
	if err := line.PrintfLine("DATA"); err != nil {
		return "", s.refused("the message", err)
	}
	if _, _, err := line.ReadResponse(354); err != nil {
		return "", s.refused("the message", err)
	}
	w := line.DotWriter()
	fmt.Fprintf(w, "From: %s\r\nTo: %s\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%s@hop3>\r\n", from, to,
		mime.QEncoding.Encode("utf-8", subject), time.Now().Format(time.RFC1123Z), rand.Text())
	fmt.Fprint(w, "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	body := quotedprintable.NewWriter(w)
	_, err := body.Write([]byte(text))
	if err = errors.Join(err, body.Close(), w.Close()); err != nil {
		return "", s.refused("the message", err)
	}
	code, answer, err := line.ReadResponse(250)
	if err != nil {
		return "", s.refused("the message", err)
	}
	return fmt.Sprintf("%d %s", code, strings.ToValidUTF8(strings.ReplaceAll(answer, "\n", " "), "?")), nil
}

func (s *mailSession) refused(what string, err error) error {
	var answer *textproto.Error
	if errors.As(err, &answer) {
		return hop3.Errorf(hop3.CodeUnavailable, "the mail server %s does not take %s: %w", s.host, what, err).
			WithHint("It may want another address in the option from.")
	}
	return hop3.Errorf(hop3.CodeUnavailable, "the mail server %s was lost at %s: %w", s.host, what, err).WithHint("Try again.")
}

// quit says goodbye.
func (s *mailSession) quit() error {
	defer s.stop()
	if err := s.client.Quit(); err != nil {
		s.client.Close()
		return hop3.Errorf(hop3.CodeUnavailable, "the mail server %s was lost: %w", s.host, err).WithHint("Try again.")
	}
	return nil
}

func (s *mailSession) close() error {
	s.stop()
	return s.client.Close()
}
