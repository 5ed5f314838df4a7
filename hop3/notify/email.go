package notify

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"strconv"
	"time"

	"github.com/abilian/hop3/hop3"
)

// SMTP is the server that sends e-mail for us.
type SMTP struct {
	Host     string // "" for none
	Port     int
	User     string // "" sends without a login
	Password string
	From     string // an address
	TLS      string // starttls, tls or none
	// Config is for tests with an authority of their own; nil for the
	// machine's roots.
	Config *tls.Config
}

// send sends a notice to an address. A password goes over TLS only, unless TLS
// is none and the server is this machine: net/smtp sees to that.
func (s SMTP) send(ctx context.Context, to string, n hop3.Notice) error {
	if s.Host == "" || s.From == "" {
		return hop3.Errorf(hop3.CodeUnavailable, "this server sends no e-mail").WithHint("SMTP_HOST and SMTP_FROM of its settings say how.")
	}
	message, err := s.message(to, n)
	if err != nil {
		return err
	}
	if err := s.deliver(ctx, to, message); err != nil {
		return hop3.Errorf(hop3.CodeUnavailable, "the mail server %s did not take the message: %w", s.Host, err)
	}
	return nil
}

func (s SMTP) deliver(ctx context.Context, to string, message []byte) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(s.Host, strconv.Itoa(s.Port)))
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	config := &tls.Config{}
	if s.Config != nil {
		config = s.Config.Clone()
	}
	config.ServerName = s.Host
	if s.TLS == "tls" {
		conn = tls.Client(conn, config)
	}
	c, err := smtp.NewClient(conn, s.Host)
	if err != nil {
		return err
	}
	defer c.Close()
	if s.TLS == "starttls" {
		if err := c.StartTLS(config); err != nil {
			return fmt.Errorf("STARTTLS: %w", err)
		}
	}
	if s.User != "" {
		if err := c.Auth(smtp.PlainAuth("", s.User, s.Password, s.Host)); err != nil {
			return fmt.Errorf("logging in: %w", err)
		}
	}
	if err := c.Mail(s.From); err != nil {
		return err
	}
	if err := c.Rcpt(to); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(message); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.Quit()
}

// message is a notice as an e-mail. No text of an event gets into its header
// but encoded.
func (s SMTP) message(to string, n hop3.Notice) ([]byte, error) {
	var b bytes.Buffer
	from := mail.Address{Name: "Hop3", Address: s.From}
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\nSubject: %s\r\nDate: %s\r\n", from.String(), (&mail.Address{Address: to}).String(),
		mime.QEncoding.Encode("utf-8", header(Title(n))), time.Now().Format(time.RFC1123Z))
	fmt.Fprintf(&b, "Message-ID: <%d.%s@hop3>\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n", n.ID, rand.Text())
	b.WriteString("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	w := quotedprintable.NewWriter(&b)
	if _, err := w.Write([]byte(Text(n) + "\n")); err != nil {
		return nil, err
	}
	return b.Bytes(), w.Close()
}
