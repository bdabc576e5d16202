// Code that the app's page uses too: it lies outside of the functions' folder.
export const formatMoney = (cents: number, currency = "USD") => new Intl.NumberFormat("en-US", { style: "currency", currency }).format(cents / 100);
export class OutOfStock extends Error {
  constructor(
    readonly sku: string,
    readonly left: number,
  ) {
    super(`Only ${left} of ${sku} left`);
    this.name = "OutOfStock";
  }
}
