package certs

import (
	"context"
	"net"
	"net/netip"
)

// Addresses returns where a host points to by the machine's resolver, and the
// addresses of the machine that others can reach.
func (k *Keeper) Addresses(ctx context.Context, host string) (points, own []string, err error) {
	points, err = net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil, nil, err
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return points, nil, nil // the other half is of use by itself
	}
	for _, a := range addresses {
		prefix, err := netip.ParsePrefix(a.String())
		if err == nil && !prefix.Addr().IsLoopback() && !prefix.Addr().IsLinkLocalUnicast() {
			own = append(own, prefix.Addr().String())
		}
	}
	return points, own, nil
}
