package leasemodel
import ("testing";"fmt";"hash/maphash";"sort")
func TestProj(t *testing.T){
 m:=&Model{World:World{T:3,M:2,D:1,Clocks:true,Sessions:1,Slots:1}}
 x := explorer{m: m, seed: maphash.MakeSeed(), table: make([]uint32, 1<<16)}
 x.add(State{},0)
 for i:=0;i<len(x.states)&&len(x.states)<3000000;i++{ m.next(x.states[i],func(_ Step,s State){m.canonical(&s);x.add(s,0)}) }
 c:=map[string]map[any]int{}
 put:=func(n string,v any){ if c[n]==nil{c[n]=map[any]int{}}; c[n][v]++}
 for i:=range x.states { s:=x.states[i]
  put("net0",s.Net[0]);put("keys",s.Keys);put("room",s.Room);w:=s.Workers[0]
  put("w0",w); w2:=w; w2.Pos=0;put("w0-pos",w2); put("view",[2]any{w.View,w.Fence}); put("lease",w.Lease);put("seen",w.Seen);put("phase",w.Phase);put("rev",w.Rev);put("pos",w.Pos)
  s2:=s; for w:=range s2.Workers{s2.Workers[w].Pos=0}; put("all-pos",s2)
  s2=s; s2.Net=[2][2]Message{}; put("all-net",s2)
  s2=s; for i:=range s2.Keys{s2.Keys[i].Left=0}; for w:=range s2.Workers{s2.Workers[w].Lease=0; s2.Net[w][0].Left=0}; put("all-time",s2)
  s2=s; for w:=range s2.Workers{s2.Workers[w].View=Claim{};s2.Workers[w].Fence=0}; put("all-view",s2)
 }
 for n,v:=range c{fmt.Println(n,len(v))}
 type kv struct{k any;n int}
 for _,n:=range []string{"net0","keys","view","room"}{ var l []kv; for k,v:=range c[n]{l=append(l,kv{k,v})}; sort.Slice(l,func(i,j int)bool{return l[i].n>l[j].n}); for i:=0;i<14&&i<len(l);i++{fmt.Printf("%s %d %+v\n",n,l[i].n,l[i].k)}}
}
