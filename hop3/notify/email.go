package notify

import (
	"context"
	"crypto/x509"
	"net/mail"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/smtp"
)

// SMTP is the server that sends e-mail for us.
type SMTP struct {
	Host     string // "" for none
	Port     int
	User     string // "" sends without a login
	Password string
	From     string // an address
	TLS      string // starttls, tls or none
	// Roots are for tests with an authority of their own; nil for the machine's.
	Roots *x509.CertPool
}

// send sends a notice to an address.
func (s SMTP) send(ctx context.Context, to string, n hop3.Notice) error {
	if s.Host == "" || s.From == "" {
		return hop3.Errorf(hop3.CodeUnavailable, "this server sends no e-mail").WithHint("SMTP_HOST and SMTP_FROM of its settings say how.")
	}
	session, err := smtp.Server{Host: s.Host, Port: s.Port, User: s.User, Password: s.Password, TLS: s.TLS, Roots: s.Roots}.Login(ctx)
	if err != nil {
		return err
	}
	_, err = session.Send(smtp.Message{
		From: &mail.Address{Name: "Hop3", Address: s.From}, To: &mail.Address{Address: to},
		Subject: header(Title(n)), Text: Text(n) + "\n",
	})
	if err != nil {
		_ = session.Close() // the error is on its way
		return err
	}
	_ = session.Quit() // it has the message: to send it again would send it twice
	return nil
}
