//go:build !linux

package wechatws

// Elsewhere the network is looked at now and then, and neither its routes nor its
// kind can be read without platform code.

func openNetworkHints() networkHints { return newPolledHints() }

func defaultRoutes() []route { return nil }

func networkType(string) NetworkType { return NetworkUnknown }
