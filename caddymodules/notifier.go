package caddymodules

import (
	"github.com/abilian/hop3/hop3/notify"
	"github.com/abilian/hop3/hop3/serverconfig"
)

// notifier sends notices as the configuration says.
func notifier(c *serverconfig.Config) *notify.Sender {
	return &notify.Sender{
		Version: Version, AllowPrivate: c.NotifyAllowPrivate,
		SMTP: notify.SMTP{Host: c.SMTP.Host, Port: c.SMTP.Port, User: c.SMTP.User, Password: c.SMTP.Password, From: c.SMTP.From, TLS: c.SMTP.TLS},
	}
}

// certificateOutcome notes how an attempt to get a certificate ended.
func (c *core) certificateOutcome(host string, err error) {
	if p := c.platform.Load(); p != nil {
		app, _ := c.Table.AppOf(host)
		p.CertificateOutcome(host, app, err)
	}
}
